"""Methods asked once for every record of another resource.

parents.py  a pass over all parents
parent.py   one of those parents, its list read whole
"""
