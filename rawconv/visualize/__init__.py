"""Looking into a net, in reading order:

units.py            how a user names layers and units;  receptive_field.py  which pixels a unit sees
images.py           images into a net, projections as images
projection.py       one unit -> its projection;  windowed.py  many, through their receptive fields alone
trace.py            the way down in numbers, step by step;  controls.py  with an ingredient exchanged
perturbed.py        up again where an image has changed
top_activations.py  the images that excite each feature map most
"""
