"""The emulator's inbox: a web page at ``/`` with phones, conversations, faults, the clock and the request journal."""
