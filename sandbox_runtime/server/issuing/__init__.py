"""Who else is known, beside the users of this machine: tokens and certificates that were issued.

The command line writes the book, the broker reads it; neither asks the other.
"""
