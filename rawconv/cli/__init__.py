"""The commands.  Where this process is one, a Ctrl-C while it is still being loaded ends it without
a traceback.
"""

import os
import signal
import sys

_started = sys.argv[0] == "-m" or os.path.basename(sys.argv[0]).startswith("rawconv-")
if _started and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
