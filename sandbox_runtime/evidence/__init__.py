"""How is evidence kept safe? Opaque bytes in, the same bytes out, in order, or a fault.

Law: this room knows nothing of records, calls or tasks. It promises that what was
acknowledged is there after a crash, that damage is named and never skipped, and that a
body whose key was destroyed is gone while everything that points at it still verifies.
"""
