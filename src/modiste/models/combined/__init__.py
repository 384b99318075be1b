"""Customers' vectors of both networks, sequence and graph, as one."""
