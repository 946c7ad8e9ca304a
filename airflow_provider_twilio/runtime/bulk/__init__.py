"""Many requests in one task: at a pace, resumed after a crash, each with an outcome of its own.

| file | what it answers |
|---|---|
| ``engine`` | how is a stream of requests run: how many at once, how fast, what came of each? |
| ``checkpoints`` | how does it go on after a crash: nothing twice, nothing forgotten? |
| ``rows`` | who are the recipients, from a list or a file, and how is a number written? |
| ``plan`` | which message does each row make, and what is refused before the first is sent? |
| ``reconcile`` | which of many were sent before a crash, and what has become of them? |
| ``waiting`` | how are many deliveries waited for? |
| ``results`` | what became of each row, as a table? |
| ``pace`` | how many at once, and how soon the next? |
| ``progress`` | how far is it? |

Imports no Airflow: client and memory are handed in.
"""
