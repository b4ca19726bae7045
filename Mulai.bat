@echo off
rem  Klik dua kali: membuat laporan menurut workspace.yaml, lalu membuka daftarnya.
rem  Double click: makes the reports of workspace.yaml, then opens their list.
rem
rem    Mulai.bat            buat yang belum mutakhir, lalu buka / make what is stale, then open
rem    Mulai.bat buka       hanya buka / only open
rem
rem  Bila semua baik, jendela ini menutup sendiri; setelah galat ia menunggu, agar pesannya terbaca.
rem  When all is well this window closes by itself; after an error it waits, so that the message can be read.
setlocal
cd /d "%~dp0"
chcp 65001 >nul
set "PYTHONUTF8=1"
set "OPENBLAS_NUM_THREADS=1"
set "OMP_NUM_THREADS=1"

if /i "%~1"=="buka" goto open

set "BGTK="
if exist ".venv\Scripts\bgtk.exe" set "BGTK=.venv\Scripts\bgtk.exe"
if defined BGTK goto make

rem  conda: di PATH, atau di folder pemasangan yang lazim / on the PATH, or where it usually is.
set "CONDA_BAT="
for %%F in (conda.bat) do if not "%%~$PATH:F"=="" set "CONDA_BAT=%%~$PATH:F"
for %%R in ("%USERPROFILE%" "%LOCALAPPDATA%" "%ProgramData%") do for %%N in (miniforge3 miniconda3 anaconda3) do (
    if not defined CONDA_BAT if exist "%%~R\%%N\condabin\conda.bat" set "CONDA_BAT=%%~R\%%N\condabin\conda.bat"
)
if not defined CONDA_BAT goto missing
call "%CONDA_BAT%" activate bgtk
if errorlevel 1 goto missing
set "BGTK=bgtk.exe"

:make
if not exist "workspace.yaml" goto noworkspace
echo  Membuat laporan ... / Making the reports ...
"%BGTK%" run
rem  1: selesai, tetapi ada gerbang tertutup, dan laporannya menerangkan / done, but a gate closed, and the page says which
if errorlevel 2 goto fail

:open
set "PAGE="
for /f "delims=" %%D in ('dir /b /ad /od reports 2^>nul') do if exist "reports\%%D\index.html" set "PAGE=reports\%%D\index.html"
if not defined PAGE goto nothing
start "" "%PAGE%"
exit /b 0

:missing
echo.
echo  BGTK belum terpasang. Jalankan sekali di folder ini:  conda env create -f environment.yml
echo  BGTK is not installed yet. Run once in this folder:   conda env create -f environment.yml
goto fail

:noworkspace
echo.
echo  Berkas workspace.yaml tidak ada di folder ini.
echo  There is no file workspace.yaml in this folder.
goto fail

:nothing
echo.
echo  Belum ada laporan di folder reports.
echo  There is no report in the folder reports yet.
goto fail

:fail
echo.
echo  Sebabnya tertulis di atas. Tekan sembarang tombol untuk menutup jendela ini.
echo  The reason stands above. Press any key to close this window.
pause >nul
exit /b 2
