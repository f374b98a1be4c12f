"""Signatures of the bindings' private functions, which tools/gen_stubs.py writes into the stubs."""

PRIVATE = {
    "asarray": "(data: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None, "
    "copy: _bool | None = None) -> Tensor",
    "from_dlpack": "(x: Any, copy: _bool | None = None) -> Tensor",
    "promote_types": "(a: DTypeLike, b: DTypeLike, /) -> dtype",
    "grad_enabled": "() -> _bool",
    "set_grad_enabled": "(on: _bool, /) -> None",
    "gradients": "(outputs: Sequence[Tensor], inputs: Sequence[Tensor], "
    "gradients: Sequence[Tensor | None] | None, create_graph: _bool | None, "
    "stop: _bool = False, own: Sequence[Tensor] = ...) -> list[Any]",
    "make_leaf": "(x: Tensor, /) -> Tensor",
    "make_relay": "(x: Tensor, /) -> Tensor",
    "custom_function": "(inputs: Sequence[Tensor], outputs: Sequence[Tensor], "
    "backward: Callable[..., Sequence[Any]], name: _str, saved: Sequence[Tensor], "
    "rewrap: Callable[..., Sequence[Tensor]] | None, first: _int) -> list[Tensor]",
    "tracing": "() -> _bool",
    "traced_nodes": "() -> _int",
    "call_batched": "(function: Callable[[list[Tensor]], Sequence[Tensor]], "
    "tensors: Sequence[Tensor], batched: Sequence[_bool], size: _int, randomness: _str, /) "
    "-> tuple[list[Tensor], list[_bool]]",
    "call_for_all": "(tensors: Sequence[Tensor], "
    "function: Callable[[list[Tensor], list[_bool], _int], Sequence[Tensor]], /) "
    "-> list[Tensor] | None",
    "make_guards": "(places: list[tuple[Any, ...]], /) -> Guards",
    "record_call": "(function: Callable[..., Any], values: tuple[Any, ...], "
    "names: tuple[_str, ...] | None, reachable: dict[Tensor, _str]) "
    "-> tuple[Any, Specialisation | None, _str, _bool]",
    "compare_recordings": "(a: Specialisation, b: Specialisation, /) -> tuple[_str, _bool]",
    "fitting": "(list: list[Specialisation], compiled: CompiledFunction, values: tuple[Any, ...], "
    "names: tuple[_str, ...] | None) -> Specialisation | None",
    "misfit": "(item: Specialisation, compiled: CompiledFunction, values: tuple[Any, ...], "
    "names: tuple[_str, ...] | None) -> _str",
    "set_entries": "(compiled: CompiledFunction, "
    "entries: list[tuple[Guards, list[Specialisation]]], /) -> None",
    "recording": "() -> _bool",
    "set_number_type": "(kind: type[_float], /) -> None",
    "set_imperative": "(compiled: CompiledFunction, /) -> None",
    "compiled_runs": "(compiled: CompiledFunction, /) -> tuple[_int, _int]",
    "trace_graph": "(function: Callable[[list[Tensor]], Sequence[Tensor]], "
    "inputs: Sequence[tuple[Any, ...]], mutables: Sequence[Tensor], /) "
    "-> tuple[Program, list[Tensor]]",
    "trace_blocks": "(op: _str, functions: Sequence[Callable[[list[Tensor]], Sequence[Tensor]]], "
    "operands: Sequence[Sequence[tuple[Any, Any, Any]]], /) "
    "-> tuple[list[Program], list[Tensor]]",
    "record_control": "(op: _str, blocks: Sequence[Program], operands: Sequence[Tensor], "
    "carries: _int = 0, xs: _int = 0, length: _int = 0, reverse: _bool = False, "
    "max_steps: _int = -1) -> list[Tensor]",
    "alias": "(x: Tensor, /) -> Tensor",
    "set_control_tape": "(on: _bool, /) -> _bool",
    "set_most_steps": "(steps: _int, /) -> None",
    "is_traced": "(x: Tensor, /) -> _bool",
    "in_graph_trace": "(tensors: Sequence[Any], /) -> _bool",
    "open_graph": "(probes: Sequence[tuple[Any, ...]], sizes: Sequence[tuple[Any, ...]], "
    "dims: Sequence[tuple[_int, _int, _int]], "
    "comparisons: Sequence[tuple[_int, list[_int], _str]], /) -> Program",
    "set_size_class": "(type: Any) -> Any",
    "read_graph": "(text: bytes, /) -> Program",
    "tape_mark": "() -> _int",
    "tape_boundary": "(roots: Sequence[Tensor], mark: _int, /) -> list[Tensor]",
    "same_place": "(a: Tensor, b: Tensor, /) -> _bool",
    "differentiable": "(tensors: Sequence[Tensor], leaves: Sequence[Tensor], /) -> _bool",
    "settled": "(x: Tensor, leaves: Sequence[Tensor], /) -> Tensor",
    "barrier": "(x: Tensor, after: Sequence[Tensor], /) -> Tensor",
    "random_state": "() -> tuple[_int, _int]",
    "set_random_state": "(seed: _int, counter: _int, /) -> None",
    "release_consumed": "() -> None",
    "flush": "() -> None",
    "synchronize": "() -> None",
    "memory_stats": "(device: _int | _str = 0) -> dict[_str, _int]",
    "reset_peak": "(device: _int | _str = 0) -> None",
    "release_cached": "(device: _int | _str = 0) -> _int",
    "memory_limit": "() -> _int",
    "set_memory_limit": "(limit: _int, /) -> None",
    "num_threads": "() -> _int",
    "set_num_threads": "(count: _int, /) -> None",
    "threads_reason": "() -> _str",
    "window_limit": "() -> _int",
    "set_window_limit": "(nodes: _int, /) -> None",
    "isa": "() -> _str",
    "device_count": "(kind: _str, /) -> _int",
    "unavailable_reason": "(kind: _str, /) -> _str",
    "cuda_code_log": "() -> list[tuple[_str, _str, _str, _float]]",
    "cuda_launch": "(name: _str, device: _int, source: _str, entry: _str, options: list[_str], "
    "args: list[Any], outs: list[Any], grid: list[_int], block: list[_int], shared: _int, /) "
    "-> list[Tensor]",
    "cuda_load_pack": "(path: _str, /) -> None",
    "cuda_note_declared": "() -> None",
    "cuda_note_needed": "(on: _bool, /) -> None",
    "cuda_write_needed": "(path: _str, archs: list[_int], /) -> tuple[_int, _int]",
    "cuda_code_stats": "() -> dict[_str, _int]",
    "autocast_mode": "(cpu: _bool, /) -> tuple[_bool, _str]",
    "cuda_library_runs": "() -> tuple[_int, _int]",
    "matmul_precision": "() -> _int",
    "set_autocast_mode": "(cpu: _bool, enabled: _bool, dtype: _str, /) -> None",
    "set_matmul_precision": "(precision: _int, /) -> None",
    "cuda_device_of": "(address: _int, /) -> _int",
    "cuda_export": "(x: Tensor, /) -> tuple[_int, tuple[_int, ...], _int, Any]",
    "cuda_import": "(owner: Any, index: _int, address: _int, shape: tuple[_int, ...], "
    "strides: tuple[_int, ...], dtype: dtype, copy: _bool, stream: _int, /) -> Tensor",
    "cuda_host_runs": "() -> dict[_str, _int]",
    "cuda_reset_host_runs": "() -> None",
    "cuda_memory_info": "(index: _int, /) -> tuple[_int, _int]",
    "cuda_properties": "(index: _int, /) -> dict[_str, Any]",
    "cuda_report": "() -> dict[_str, Any]",
    "cuda_set_memory_limit": "(index: _int, bytes: _int, /) -> None",
    "cuda_synchronize": "(index: _int, /) -> None",
    "set_verify_plans": "(on: _bool, /) -> None",
    "clear_plan_cache": "() -> None",
    "set_plan_cache_limit": "(plans: _int, /) -> None",
    "plan_cache_stats": "() -> dict[_str, _int]",
    "set_reports": "(windows: _int, /) -> None",
    "clear_reports": "() -> None",
    "reports": "() -> list[dict[_str, Any]]",
    **dict.fromkeys(("print_plans", "print_graphs", "recorded_graph"), "() -> _str"),
    "op_rules": "() -> dict[_str, tuple[_bool, _bool]]",
    "enter_scope": "(name: _str, /) -> _int",
    "leave_scope": "(before: _int, /) -> None",
    "set_package_folder": "(folder: _str, /) -> None",
    "describe_site": "(site: _int, /) -> _str",
    "call_site": "() -> _int",
    "set_noted_site": "(code: Any, site: _int, /) -> _int",
    "set_symbols": "(symbol: type, size: type, dispatch: Any, /) -> None",
    "has_symbols": "(tree: Any, /) -> _bool",
    "is_shared": "(tensor: Tensor, /) -> _bool",
    "shutdown": "() -> None",
    "engine_mode": "() -> _str",
    "set_engine_mode": "(mode: _str, /) -> None",
    "fma_peak": "() -> _float",
    "start_trace": "() -> None",
    "stop_trace": "() -> list[tuple[_str, _str, _str, _int, _int, _str]]",
    "detect_nan": "() -> _bool",
    "set_detect_nan": "(on: _bool, /) -> None",
}
