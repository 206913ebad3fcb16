"""Where may a call's bytes go? Into one container that lives for that call alone.

`plan` says what the engine will be asked for; `launcher` asks, reads the walls back from
the kernel, passes the bytes, and judges how it ended; `runner` is PID 1 inside.
"""
