"""What happened, and is the record of it whole?

Law: auditors read. Nothing here writes to a log, runs a tool or asks a broker.
"""
