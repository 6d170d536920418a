//! What a block proves about its filter.
