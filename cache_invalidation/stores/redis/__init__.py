"""The store on Redis and Valkey, through `django-redis`: one server, Sentinel, Cluster."""
