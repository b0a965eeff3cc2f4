"""Exercise 3: predict what wrong switches do.

The net of chapter 6: pixels -> conv1 with the filter [-1 2 -1] -> ReLU -> pool of pairs -> conv2
with [1 3] -> ReLU. It went up with  [0 0 5 0 0 2 4 0];  its last unit has the value 18 and goes
down, but through the switches that the pixels  [0 0 0 9 0 0 0 0]  left.  Use a pencil.
"""

SWITCHES = None  # of those other pixels, three numbers of 0 or 1
PIXELS = None  # what arrives, eight numbers
