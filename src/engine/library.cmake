# The engine as a library of its own: libmoonloom-engine.a, <moonloom/engine.h>, moonloom-engine.pc.
# Compiled apart from the rest, always optimised, never sanitized, without link-time optimisation: what
# any `cc` can link, and what spec/bench/engine counts the instructions of.
get_target_property(engine_sources moonloom_engine SOURCES)
get_target_property(base_sources ml_base SOURCES)
list(REMOVE_ITEM base_sources log.c clock.c) # nothing in the engine looks at a clock or writes a log
list(TRANSFORM base_sources PREPEND ${CMAKE_SOURCE_DIR}/src/base/)

add_library(moonloom_engine_library STATIC ${engine_sources} ${base_sources})
set_target_properties(moonloom_engine_library PROPERTIES
  OUTPUT_NAME moonloom-engine INTERPROCEDURAL_OPTIMIZATION OFF)
target_include_directories(moonloom_engine_library PUBLIC ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(moonloom_engine_library PRIVATE _GNU_SOURCE NDEBUG)
target_compile_options(moonloom_engine_library PRIVATE
  -O2 -fno-profile-arcs -fno-test-coverage -fno-omit-frame-pointer -fstack-protector-strong)
target_link_libraries(moonloom_engine_library PUBLIC m)

set(public_header ${CMAKE_BINARY_DIR}/include/moonloom/engine.h)
file(GLOB public_header_parts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/base/*.h
  ${CMAKE_SOURCE_DIR}/src/engine/*.h)
add_custom_command(OUTPUT ${public_header}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/include/moonloom
  COMMAND ${LUAJIT_EXECUTABLE} ${CMAKE_SOURCE_DIR}/scripts/public-header ${public_header}
          ${CMAKE_CURRENT_SOURCE_DIR}/engine.h
  DEPENDS ${CMAKE_SOURCE_DIR}/scripts/public-header engine.h ${public_header_parts}
  VERBATIM)
add_custom_target(moonloom_engine_header ALL DEPENDS ${public_header})

include(GNUInstallDirs)
install(TARGETS moonloom_engine_library ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT engine)
install(FILES ${public_header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/moonloom COMPONENT engine)
# Relative to where the file itself lies, so that `cmake --install --prefix` and DESTDIR may move it.
file(RELATIVE_PATH PREFIX_FROM_HERE /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(moonloom-engine.pc.in ${CMAKE_BINARY_DIR}/moonloom-engine.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/moonloom-engine.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT engine)
