"""What observers are told: the records, who gets them, and what a fork or step neither returns nor raises.

May use: the other modules of `_core`.
Begin with `records`.
"""
