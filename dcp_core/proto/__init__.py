"""The .proto files and the modules generated from them; only ``logical_plan.py`` imports these."""
