"""What strangers can send, thrown at the code that reads it. `python -m tests.fuzz --seconds 60`
runs for as long as one likes; the suite runs a little of each, the same every time."""
