-- The language server in Neovim (0.7 or newer):
--
--   vim.opt.runtimepath:append("/path/to/circuitdsl/editors/vim")
--   require("circuitdsl").setup()
--
-- `setup({ cmd = { "/home/me/.venv/bin/circuitdsl", "lsp" } })` where the program is not on the path.

local M = {}
local started = {} -- before 0.8: the client of each root

local function root_of(buffer)
  local path = vim.api.nvim_buf_get_name(buffer)
  return path ~= "" and vim.fn.fnamemodify(path, ":p:h") or vim.fn.getcwd()
end

function M.start(options, buffer)
  local root = root_of(buffer)
  local config = vim.tbl_extend("force", {
    name = "circuitdsl",
    cmd = { "circuitdsl", "lsp" },
    root_dir = root,
    workspace_folders = { { uri = vim.uri_from_fname(root), name = root } },
  }, options)
  if vim.lsp.start then
    vim.lsp.start(config, { bufnr = buffer })
  else
    started[root] = started[root] or vim.lsp.start_client(config)
    vim.lsp.buf_attach_client(buffer, started[root])
  end
  if vim.lsp.inlay_hint then
    vim.lsp.inlay_hint.enable(true, { bufnr = buffer })
  end
end

function M.setup(options)
  vim.api.nvim_create_autocmd("FileType", {
    pattern = "circ",
    callback = function(event)
      M.start(options or {}, event.buf)
    end,
  })
end

return M
