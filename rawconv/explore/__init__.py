"""Looking into a net live, in a browser: rawconv-explore.  In reading order:

held.py        what is kept, bounded by bytes: pictures, and their forward passes
asked.py       what a request may ask, checked: a question of JSON -> a Question
session.py     a net, its data set and pictures; answers questions about them; knows no HTTP
strongest.py   the data set scanned in the background, in parts: nine patches of a map, rank of a value
worker.py      one thread computes, the newest request of a page first of all its own
guard.py       who may ask: Host, Origin, token, and the policy that a browser gets
server.py      requests -> questions -> JSON and PNG; static/ is the page
serve.py       a port, a server in this thread or beside it
"""
