#pragma once

namespace sn {

// One function per family file of this folder; register_families() calls them all, in this order.
// Files of functions that are made of ops of several families come last.
void register_elementwise_ops();
void register_movement_ops();
void register_reduce_ops();
void register_linalg_ops();
void register_nn_ops();
void register_conv_ops();
void register_indexing_ops();
void register_sorting_ops();
void register_random_ops();
void register_recurrent_ops();
void register_attention_ops();
void register_arithmetic_functions();
void register_product_functions();
void register_shape_functions();
void register_scatter_functions();
void register_statistics_functions();
void register_counting_functions();
void register_special_functions();
void register_ctc_ops();
void register_complex_ops();
void register_control_ops();
void register_complex_rules();  // ... and of complex_math.cpp:
void register_complex_math();

inline void register_families() {
    register_elementwise_ops();
    register_movement_ops();
    register_reduce_ops();
    register_linalg_ops();
    register_nn_ops();
    register_conv_ops();
    register_indexing_ops();
    register_sorting_ops();
    register_random_ops();
    register_recurrent_ops();
    register_attention_ops();
    register_arithmetic_functions();
    register_product_functions();
    register_shape_functions();
    register_scatter_functions();
    register_statistics_functions();
    register_counting_functions();
    register_special_functions();
    register_ctc_ops();
    register_complex_ops();
    register_control_ops();
#if !defined(SN_RUNTIME)       // a recorded graph holds what they are made of
    register_complex_rules();  // of the ops above
#endif
}

}  // namespace sn
