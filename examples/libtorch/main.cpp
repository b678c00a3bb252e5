// Loads a head (.pt), reads a picture's embedding (raw float32), prints the likeliest
// classes, best first: probability, tab, name.
//
//     classify head.pt embedding.f32

#include <torch/script.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

static std::vector<float> read_floats(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file || bytes.empty() || bytes.size() % sizeof(float) != 0) {
    throw std::runtime_error(path + " is not there or holds no float32 numbers");
  }
  const float* begin = reinterpret_cast<const float*>(bytes.data());
  return std::vector<float>(begin, begin + bytes.size() / sizeof(float));
}

static std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: classify head.pt embedding.f32\n";
    return 2;
  }
  try {
    torch::jit::ExtraFilesMap inside{{"labels.txt", ""}};
    torch::jit::Module head = torch::jit::load(argv[1], torch::kCPU, inside);
    const std::vector<std::string> labels = lines_of(inside["labels.txt"]);

    std::vector<float> numbers = read_floats(argv[2]);
    const auto dim = static_cast<int64_t>(numbers.size());
    const torch::Tensor embedding = torch::from_blob(numbers.data(), {1, dim});

    torch::NoGradGuard no_grad;
    const auto answer = head.forward({embedding}).toTuple()->elements();
    const torch::Tensor probabilities = answer[0].toTensor()[0];  // (k)
    const torch::Tensor indices = answer[1].toTensor()[0];        // (k)
    for (int64_t i = 0; i < indices.size(0); ++i) {
      const auto index = static_cast<size_t>(indices[i].item<int64_t>());
      std::printf("%.7f\t%s\n", probabilities[i].item<float>(), labels.at(index).c_str());
    }
  } catch (const std::exception& error) {
    const std::string what = error.what();  // LibTorch's goes on with a stack trace
    std::cerr << what.substr(0, what.find('\n')) << "\n";
    return 1;
  }
  return 0;
}
