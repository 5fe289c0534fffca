"""What things cost, as ratios against a peer or a floor measured in the same run; never asserted.

``make bench`` prints them all; ``python -m benchmarks start_up`` prints one.
"""
