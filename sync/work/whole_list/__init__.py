"""Lists that no history tells of.

sweep.py    a list read whole: what came is written, what did not is judged
cursor.py   lists in the order of time behind an opaque cursor
updated.py  changes by an updated-since filter, between full passes
"""
