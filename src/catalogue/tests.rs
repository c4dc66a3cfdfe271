//! Claims about whole catalogues: what is accepted, what is complained about, and where.
