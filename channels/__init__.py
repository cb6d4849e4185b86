"""The air: propagation, fading and Shannon rates. numpy only; SI units."""
