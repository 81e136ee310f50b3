"""Elastic Fabric Adapter devices for drakit."""
