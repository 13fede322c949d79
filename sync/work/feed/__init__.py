"""The feed lane: one look at a history, from the request to the rows it told of.

follow.py      one look: the head to its end, the chain proven on the way; then all of the below
bookmark.py    where a feed begins, and where it begins anew when its chain is broken
history.py     a history's entries by id, and what they tell of the records they name
write_told.py  what a page of entries told, written: entries, records, and what comes late
tail.py        the second reading: entries passed once known for the lateness bound
late.py        the third reading, and a sample of records: what came later than the bound
reread.py      records read again by id, and written
due.py         records that wait in `sync.reread`, read when their time has come
backlog.py     history older than the bookmark
"""
