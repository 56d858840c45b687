"""Encoder, heads and model classes.

Reading order: packing, encoder, heads, outputs, base, modeling, classification, language_modeling, auto.
"""
