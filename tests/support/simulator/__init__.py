"""A world around the real ledger and guard: virtual time, a disk that forgets, a provider that lies.

Everything that happens follows from a seed. `guarded` runs whole histories through guard and ledger, `bare`
the ledger alone and faster, `powercut` and `bitflip` try every way in which a journal may be found.
"""
