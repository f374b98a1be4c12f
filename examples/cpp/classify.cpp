// Classifies digits with a model that Python has trained and saved.
//
//     python save_digits.py digits.sn
//     ./classify digits.sn
#include <algorithm>
#include <cstdio>
#include <vector>

#include <sennit/sennit.hpp>

namespace {

// A seven, eight by eight pixels from 0 to 1.
const char* const kSeven[8] = {" ###### ", " ###### ", "     ## ", "    ##  ",
                               "  ##### ", "   ##   ", "  ##    ", "  ##    "};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: classify MODEL\n");
        return 2;
    }
    try {
        const sennit::Model model(argv[1]);
        sennit::Session session(model);
        std::vector<float> pixels;
        for (const char* row : kSeven)
            for (int i = 0; i < 8; ++i) pixels.push_back(row[i] == '#' ? 1.0f : 0.0f);
        const sennit::Array image = sennit::Array::view(pixels.data(), {1, 1, 8, 8});
        const std::vector<float> scores = session.run({image})[0].to_vector<float>();
        const auto best = std::max_element(scores.begin(), scores.end());
        std::printf("%s says %d (probability %.3f)\n", model.name().c_str(),
                    static_cast<int>(best - scores.begin()), *best);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
