"""Files that are written whole or not at all (storage.py), what they may hold (schema.py), where
results go (run_folders.py), pickles read without running them (pickled.py), and a command's
messages and signals: messages.py, streams.py, signals.py, json_text.py.
"""
