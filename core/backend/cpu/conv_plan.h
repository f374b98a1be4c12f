#pragma once
#include <cstdint>

#include "backend/cpu/conv.h"

namespace sn::cpu {

// Forward and data gradient are one computation: each result pixel gathers, tap by tap, whole
// channel vectors of source pixels. Pixels whose taps fall inside the image alike form a class, and
// share one list of runs; a register tile never mixes classes, so skipping padding costs nothing.

// Consecutive k whose source elements are consecutive in memory too.
struct ConvRun {
    int64_t offset;  // first source element, relative to the pixel's base
    int32_t k;       // first row of the packed weight
    int32_t length;
};

struct ConvTile {
    int32_t first;  // into pixel_base and pixel_row
    int32_t rows;
    int32_t pixel_class;
};

// A block of result pixels that are consecutive in memory: the unit of scheduling and epilogues.
struct ConvChunk {
    int32_t tile_begin, tile_end;
    int64_t first_row;  // relative to the first image of the chunk
    int64_t rows;
};

struct ConvPlan {
    int64_t k;             // taps times channels of a group
    int64_t segments;      // of k
    int64_t source_image;  // elements of one image
    int64_t source_pixel;  // elements from pixel to pixel
    int64_t result_image;  // pixels of one image

    // Images are taken `images` at a time (1 when an image has several chunks). The last, smaller
    // group of images has chunks of its own.
    int64_t images;
    int64_t full_groups;
    const ConvChunk* chunks;
    int64_t full_chunks, tail_chunks;  // chunks of a full group, then of the tail
    const ConvTile* tiles;
    const int64_t* pixel_base;  // source element of the first valid tap, relative to the group
    const int32_t* pixel_row;   // relative to the chunk's first row
    const ConvRun* runs;
    // Runs of a class and a segment: run_begin[class * (segments + 1) + segment] and the next.
    const int32_t* run_begin;
    // The weights stay in the second-level cache, so a chunk takes all columns of its pixels at
    // once: epilogues work on whole rows, and threads share the pixels.
    bool whole_rows;

    // The work is `task_count` times one chunk of one group of images.
    int64_t task_count;
    struct Task {
        const ConvChunk* chunk;
        int64_t first_image;
    };
    Task task(int64_t index) const;
};

// A reference to the plan of a geometry. Plans that were used lately are kept: making one costs as
// much as a small layer on one image.
// Nothing here is inline: kernels are compiled for several instruction sets, and the linker must
// not pick one of their copies for everybody.
class ConvPlanOwner {
public:
    // `tile_rows` is the height of the register tile.
    ConvPlanOwner(const ConvShape& shape, ConvPass pass, int tile_rows);
    ~ConvPlanOwner();
    ConvPlanOwner(const ConvPlanOwner&) = delete;
    ConvPlanOwner& operator=(const ConvPlanOwner&) = delete;

    ConvPlan plan;

private:
    struct Storage;
    Storage* storage_;  // counts its references
};

// For the weight gradient: output pixels cut into pieces along a row whose valid taps agree.
struct ConvPiece {
    int64_t x;  // source pixel of tap (0, 0, 0), counted over the batch; maybe outside of the image
    int32_t dy;  // output pixel, relative to the segment's first
    int32_t count;
    int32_t pixel_class;
};

class ConvPieces {
public:
    explicit ConvPieces(const ConvShape& shape);
    ~ConvPieces();
    ConvPieces(const ConvPieces&) = delete;
    ConvPieces& operator=(const ConvPieces&) = delete;

    int64_t taps, classes;
    int64_t x_step;        // source pixels from output pixel to output pixel along a row
    const uint8_t* valid;  // valid[class * taps + tap]: whether the tap is inside the image
    // Source pixels from tap (0, 0, 0) to a tap.
    int64_t tap_offset(int64_t tap) const;
    // Writes the pieces of output pixels [begin, end), at most end - begin of them; returns how
    // many.
    int64_t cut(int64_t begin, int64_t end, ConvPiece* out) const;

private:
    struct Storage;
    ConvShape shape_;
    Storage* storage_;
};

// Throws for what the kernels cannot do: a dtype that is not a float, sizes that do not divide.
void check_conv(const ConvShape& shape, const char* op);

// True when every channel is a group of its own: k runs over taps and lanes over channels.
bool conv_is_depthwise(const ConvShape& shape);

}  // namespace sn::cpu
