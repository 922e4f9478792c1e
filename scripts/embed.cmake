# ml_embed(TARGET NAME SYMBOL FILE…): the files as C arrays in TARGET; include "NAME.h" (scripts/embed).
# FILE may be NAME=PATH.
function(ml_embed target name symbol)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/embed/${name})
  set(depends)
  foreach(file IN LISTS ARGN)
    string(REGEX REPLACE "^[^=]+=" "" path "${file}")
    list(APPEND depends ${path})
  endforeach()
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/embed)
  add_custom_command(
    OUTPUT ${out}.c ${out}.h
    COMMAND ${LUAJIT_EXECUTABLE} ${CMAKE_SOURCE_DIR}/scripts/embed ${out} ${symbol} ${ARGN}
    DEPENDS ${CMAKE_SOURCE_DIR}/scripts/embed ${depends}
    VERBATIM)
  target_sources(${target} PRIVATE ${out}.c ${out}.h)
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/embed)
endfunction()
