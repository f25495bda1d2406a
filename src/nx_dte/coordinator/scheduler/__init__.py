"""The scheduler: pure decisions. An event goes in; facts to persist, effects to carry out and an answer come out.

`decide.decide(slice, event, context)` is the whole interface. The slice holds what the store loaded for that event
(never the whole run), the context the clock, the id factory and the limits. The package imports the model and the
error family only, and never does input or output, reads a clock or draws a random number.

Modules: `state` (slices), `events`, `facts`, `effects`, `answers`, `context`, `errors` are the vocabulary; `decide` is
the table from event and run state to a transition; `transitions/` holds one module per noun; `draft` is the working
set of one decision (made of `rows` and `effects_log`) and `moves` the table of allowed moves; `policy` says who gets
what, `submission` what may be submitted, `invariants` what must always hold.
"""
