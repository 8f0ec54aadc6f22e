"""What is kept in the database: the only modules, with models.py and migrations/, that speak SQL.

Each store hands out plain frozen objects and takes the present moment from `parts().now()`.
"""
