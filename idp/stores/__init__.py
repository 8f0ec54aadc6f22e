"""Store data in the database. Besides models.py and migrations/, only these modules use SQL.

Each store returns plain frozen objects and takes the current time from `context().now()`.
"""
