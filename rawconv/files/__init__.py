"""Files that are whole or not there (storage.py), what they may hold (schema.py), where results go (run_folders.py),
and what a command says and hears: messages.py, streams.py, signals.py, json_text.py.
"""
