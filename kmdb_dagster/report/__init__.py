"""How the import went and what it brought, as figures and as pictures. Knows neither SQL nor Dagster.

``figures`` makes series of what the warehouse says, ``charts`` draws them.
"""
