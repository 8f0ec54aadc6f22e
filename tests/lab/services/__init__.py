"""Service providers that are not ours, each with holes that can be switched on: what `lab attack` is tried against."""
