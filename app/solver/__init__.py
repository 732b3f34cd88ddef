"""How a net is trained, as values and formulas: no torch, no web, no database.

- `spec`: SolverSpec (one run's solver; validate, to_dict, from_dict, iterations_per_epoch, max_iter, val_every,
  snapshot_every) and the enums SolverType, LrPolicy, Regularization, Precision
- `lr_policy`: learning_rate(spec, iteration, max_iter), curve(spec, max_iter, points), POLICY_DEFAULTS,
  percent_to_iterations
- `sweep`: expand(base_lrs, batch_sizes, name), read_numbers(text), read_whole_numbers(text)
- `text`: solver_text(spec, train_count, val_count, …), read_solver(text, train_count, batch_size) → Pasted
"""
