//! Integration tests: one binary, one module per claim area.
