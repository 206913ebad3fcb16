"""What has to be on this machine before the broker can run, and is it there?

Law: this package needs Python 3.11 and nothing else, because it runs before anything
is installed. Each step looks before it acts, so running it again changes nothing; what
it changed on the machine it wrote down, so that it can be undone.
"""
