"""The feed lane: one look at a history, from the request to the rows of the records it names.

follow.py      one look: the head to its end, the chain proven on the way; then all of the below
bookmark.py    the start of a feed, and its new start when the chain is broken
history.py     a history's entries by id, and their content for the records they name
write_told.py  a page of entries written: entries, records, and late entries
tail.py        the second reading: entries passed once known for the lateness bound
nudged.py      records that a nudge named, read before the history tells of them
late.py        the third reading, and a sample of records: news later than the bound
lease.py       the lease of a feed, taken by another lane that needs the feed
reread.py      records read again by id, and written
due.py         records that wait in `sync.reread`, read when they are due
backlog.py     history older than the bookmark
"""
