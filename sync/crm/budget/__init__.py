"""The request budget: at most 10 requests a second from one address, all workers together.

limiter.py      how a worker asks for a slot, waits for it, and tells what became of it
slot.py         a slot, and what it is asked for
gate.py         the gate in front of a request: it waits for a slot on the open connection
order.py        pages ask for their slots in the order they are wanted
redis_state.py  the budget as Redis keeps it: keys, scripts, what is told of it
redis_clock.py  where Redis's clock stands against this process's
answer_times.py  the time a store's answers usually take, and what an unusual one tells
"""
