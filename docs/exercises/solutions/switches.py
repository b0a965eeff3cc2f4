"""Exercise 3: predict what wrong switches do.

The net of chapter 6: pixels -> conv1 with the filter [-1 2 -1] -> ReLU -> pool of pairs -> conv2
with [1 3] -> ReLU. It went up with  [0 0 5 0 0 2 4 0];  its last unit has the value 18 and goes
down, but through the switches that the pixels  [0 0 0 9 0 0 0 0]  left.  Use a pencil.
"""

# conv1 of the other pixels is [0 -9 18 -9 0 0], after the ReLU [0 0 18 0 0 0]: the winners are
# first, first, and of the two zeros the first again.
SWITCHES = [0, 0, 0]
# 18 and 54 go to the places 2 and 4, and each paints -1 2 -1 there.
PIXELS = [0, 0, -18, 36, -18 - 54, 108, -54, 0]
