"""What would the broker decide, and why?

Law: decided by the policy and the destinations themselves, in this process. Nothing runs,
nothing is recorded, and no second word on what is allowed is spoken here.
"""
