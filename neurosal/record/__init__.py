"""Record: probes, schema, writer, store and resumption."""
