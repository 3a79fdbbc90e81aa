"""A fleet that is made up: services, a month of their deploys, and what they report, by a seed.

For looking at pages that would be empty otherwise: the demonstration and the screenshots. Deploys
go as those of game days do, and everything is said over the public interface. Nothing here is
played in real time, and nothing of it proves anything.
"""
