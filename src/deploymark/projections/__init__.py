"""What can be known from the log, folded out of it into tables that may be thrown away.

Everything here follows from the log and from nothing else: a lost, old or damaged `views.db` is
rebuilt by reading the log again. Views do not know each other; `runner` feeds them all.
"""
