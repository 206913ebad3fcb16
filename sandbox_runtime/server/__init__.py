"""How do the parts become a broker that others can reach?

Law: nothing listens without authentication, nothing of ours leaks through an error, and this
is the only room where the parts know each other.
"""
