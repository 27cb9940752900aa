autocmd BufNewFile,BufRead *.circ setfiletype circ
