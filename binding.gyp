{
  # The list of sources is CMakeLists.txt's; this only lets tools that look for a binding.gyp build the addon.
  "targets": [
    {
      "target_name": "lustre",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/lustre.node"],
          "action": ["sh", "-c", "cmake -S . -B build && cmake --build build --parallel"]
        }
      ]
    }
  ]
}
