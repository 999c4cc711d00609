"""Discovery: where instances are told of, what was told last, and what became of it.

`kinds` is the table of sources, one module each with one small interface. `looking` asks one and writes down what it
says, `difference` is the pure part of that, `turns` says whose turn it is, `deciding` is what people do about it,
`sources` is how a source is added, changed and removed.
"""
